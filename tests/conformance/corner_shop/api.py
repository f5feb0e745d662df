"""How the corner shop is spoken to: https://corner-shop.example/api"""

from collections.abc import Mapping
from datetime import timedelta

from collectors.refusals import judge_status
from collectors.stream import Bucket, Marketplace, Rate, Request, Secret

API = "api.corner-shop.example"


def sign(secret: Secret, _: Request) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {secret['token']}"}


CORNER_SHOP = Marketplace(
    name="corner_shop",
    hosts=frozenset({API}),
    sign=sign,
    judge=judge_status,  # its refusals mean what their status says
    buckets=(Bucket(name="all", rate=Rate(timedelta(seconds=0.5), burst=5)),),  # "120 requests a minute"
)
