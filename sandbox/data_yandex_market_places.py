"""Warehouses of Yandex Market: the seller's own and the Market's. They do not change."""

from collections.abc import Callable, Sequence

from sandbox.records import Life, Record, World, encode, moment, verbatim

CITIES = ("Тула", "Королёв", "Самара", "Уфа")
FBY = (147, 171, 172, 301)
"""Ids of the Market's own warehouses, the same for every seller."""


def own_warehouse_ids(seller: str) -> tuple[str, ...]:
    return tuple(f"{seller}{number}" for number in (501, 502, 503))


def warehouses_of_store(seller: str, store: int) -> tuple[str, ...]:
    """Where the goods of the seller's n-th store are: every third one is FBY, in two warehouses of the Market."""
    own = own_warehouse_ids(seller)
    return tuple(map(str, FBY[:2])) if store % 3 == 1 else (own[store % len(own)],)


def own_warehouses(world: World, seller: str) -> list[Record]:
    models = [{"placementType": "FBS", "apiAvailability": "AVAILABLE"}]
    return _places(world, own_warehouse_ids(seller), lambda place: {**_place(place, "Склад"), "models": models})


def fby_warehouses(world: World) -> list[Record]:
    return _places(world, list(map(str, FBY)), lambda place: _place(place, "Склад Маркета"))


def _places(world: World, ids: Sequence[str], tell: Callable[[str], dict[str, object]]) -> list[Record]:
    since = moment(world.first_day, 0)
    return [
        Record(
            Life(key=place, order=int(place), at=since, born=since, render=lambda record: encode(tell(record.key))),
            0,
            since,
        )
        for place in ids
    ]


def _place(place: str, kind: str) -> dict[str, object]:
    city = CITIES[int(place) % len(CITIES)]
    gps = {"latitude": verbatim("55.8160"), "longitude": verbatim("37.9660")}
    return {"id": int(place), "name": f"{kind} {city}", "address": {"city": city, "street": "Осенняя", "gps": gps}}
