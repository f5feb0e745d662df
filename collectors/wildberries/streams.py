"""The streams of Wildberries. Limits are those of a personal or service token, and of a base token beside them."""

from __future__ import annotations

from collectors.wildberries.adverts import (
    ADV_CLUSTERS,
    ADV_PAYMENTS,
    ADV_SPEND,
    ADV_STATS,
    CAMPAIGN_INFO,
    CAMPAIGNS,
    PROMOTIONS,
)
from collectors.wildberries.buyers import CLAIMS, FEEDBACKS_OF_BUYERS, QUESTIONS
from collectors.wildberries.csv_reports import NM_REPORT, STOCK_HISTORY
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
    FBS_ORDER_STATUS,
    FBS_ORDERS,
    ITEM_RETURNS,
    ORDER_FEED,
    ORDERS,
    SALES,
    SALES_BY_DAY,
    SALES_FUNNEL,
    SALES_FUNNEL_HISTORY,
    SEARCH_TEXTS,
)
from collectors.wildberries.shop import CARDS_TRASH, FBS_SUPPLIES, SELLER_INFO
from collectors.wildberries.tasks import ACCEPTANCE, PAID_STORAGE, WAREHOUSE_REMAINS

STREAMS = (
    ORDERS,
    SALES,
    SALES_BY_DAY,
    ORDER_FEED,
    SALES_FUNNEL,
    SALES_FUNNEL_HISTORY,
    NM_REPORT,
    SEARCH_TEXTS,
    FBS_ORDERS,
    FBS_ORDER_STATUS,
    FBS_SUPPLIES,
    ITEM_RETURNS,
    CARDS,
    CARDS_TRASH,
    PRICES_OF_GOODS,
    STOCKS_WB,
    STOCKS_SELLER,
    STOCK_HISTORY,
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
    ADV_STATS,
    ADV_CLUSTERS,
    ADV_SPEND,
    ADV_PAYMENTS,
    PROMOTIONS,
    FEEDBACKS_OF_BUYERS,
    QUESTIONS,
    CLAIMS,
    SELLER_INFO,
)
