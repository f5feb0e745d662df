"""The streams of Wildberries. Limits are those of a personal or service token, and of a base token beside them."""

from __future__ import annotations

from collectors.wildberries.adverts import ADV_PAYMENTS, ADV_SPEND, CAMPAIGN_INFO, CAMPAIGNS, PROMOTIONS
from collectors.wildberries.buyers import CLAIMS, FEEDBACKS_OF_BUYERS, QUESTIONS
from collectors.wildberries.goods import (
    CARDS,
    FBW_SUPPLIES,
    PRICES_OF_GOODS,
    SELLER_WAREHOUSES,
    STOCKS_SELLER,
    STOCKS_WB,
    TARIFFS_BOX,
    TARIFFS_COMMISSION,
    TARIFFS_PALLET,
    TARIFFS_RETURN,
)
from collectors.wildberries.money import (
    ACQUIRING,
    BALANCE,
    DEDUCTIONS,
    DOCUMENTS_OF_SELLER,
    FIN_DETAIL,
    FIN_REPORTS,
    MEASUREMENT_PENALTIES,
)
from collectors.wildberries.sales import (
    FBS_ORDERS,
    ITEM_RETURNS,
    ORDER_FEED,
    ORDERS,
    SALES,
    SALES_BY_DAY,
    SALES_FUNNEL,
)
from collectors.wildberries.shop import CARDS_TRASH, FBS_SUPPLIES, SELLER_INFO
from collectors.wildberries.tasks import ACCEPTANCE, PAID_STORAGE, WAREHOUSE_REMAINS

STREAMS = (
    ORDERS,
    SALES,
    SALES_BY_DAY,
    ORDER_FEED,
    SALES_FUNNEL,
    FBS_ORDERS,
    FBS_SUPPLIES,
    ITEM_RETURNS,
    CARDS,
    CARDS_TRASH,
    PRICES_OF_GOODS,
    STOCKS_WB,
    STOCKS_SELLER,
    SELLER_WAREHOUSES,
    WAREHOUSE_REMAINS,
    FBW_SUPPLIES,
    ACCEPTANCE,
    PAID_STORAGE,
    TARIFFS_COMMISSION,
    TARIFFS_BOX,
    TARIFFS_PALLET,
    TARIFFS_RETURN,
    FIN_DETAIL,
    FIN_REPORTS,
    ACQUIRING,
    BALANCE,
    DEDUCTIONS,
    MEASUREMENT_PENALTIES,
    DOCUMENTS_OF_SELLER,
    CAMPAIGNS,
    CAMPAIGN_INFO,
    ADV_SPEND,
    ADV_PAYMENTS,
    PROMOTIONS,
    FEEDBACKS_OF_BUYERS,
    QUESTIONS,
    CLAIMS,
    SELLER_INFO,
)
