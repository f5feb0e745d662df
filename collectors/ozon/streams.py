"""The streams of Ozon's Seller API. All reads are POST; its limit is the one of all methods together."""

from __future__ import annotations

from collectors.ozon.goods import (
    FBO_WAREHOUSES,
    PRICES,
    PRODUCT_ATTRIBUTES,
    PRODUCTS,
    STOCKS_FBO_WH,
    STOCKS_FBS,
    WAREHOUSES,
)
from collectors.ozon.money import (
    ACCRUAL_TYPES,
    ACCRUALS_BY_DAY,
    ANALYTICS,
    CASH_FLOW,
    REALIZATION,
    REALIZATION_POSTING,
    TURNOVER,
)
from collectors.ozon.orders import FBO_POSTINGS, FBS_POSTINGS, RETURNS, RETURNS_RFBS, SUPPLY_ORDERS
from collectors.ozon.reports import DISCOUNTED_REPORT, PLACEMENT_BY_PRODUCTS, PLACEMENT_BY_SUPPLIES, PRODUCTS_REPORT
from collectors.ozon.seller import QUESTIONS, REVIEWS, ROLES, SELLER_INFO

STREAMS = (
    PRODUCTS,
    FBS_POSTINGS,
    ACCRUALS_BY_DAY,
    PRICES,
    STOCKS_FBS,
    STOCKS_FBO_WH,
    FBO_POSTINGS,
    ACCRUAL_TYPES,
    REALIZATION,
    RETURNS,
    ANALYTICS,
    SELLER_INFO,
    ROLES,
    PRODUCT_ATTRIBUTES,
    WAREHOUSES,
    SUPPLY_ORDERS,
    REALIZATION_POSTING,
    CASH_FLOW,
    REVIEWS,
    QUESTIONS,
    RETURNS_RFBS,
    TURNOVER,
    FBO_WAREHOUSES,
    PRODUCTS_REPORT,
    DISCOUNTED_REPORT,
    PLACEMENT_BY_PRODUCTS,
    PLACEMENT_BY_SUPPLIES,
)
