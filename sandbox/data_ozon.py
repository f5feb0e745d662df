"""What the Ozon of the sandbox knows of a seller: the books of every stream."""

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial

from sandbox import data_ozon_goods as goods
from sandbox import data_ozon_money as money
from sandbox import data_ozon_orders as orders
from sandbox import data_ozon_seller as cabinet
from sandbox.records import DAY, Book, Dice, Life, World, catalogue, every_day

Make = Callable[[Dice, str, date, int], Life]


class OzonData:
    """The books of every Ozon stream."""

    def __init__(self, world: World) -> None:
        def book(count: Callable[[date], int], make: Make, name: str) -> Book:
            def draw(seller: str, day: date, number: int) -> Life:
                return make(Dice(f"{world.seed}/ozon/{name}/{seller}/{day}/{number}"), seller, day, number)

            return Book(world, count, draw)

        def of_products(make: Make) -> Book:
            return book(catalogue(world, "ozon/products", 150), make, "products")

        def daily(name: str, usual: float, make: Make, days: Callable[[date], bool] = lambda _: True) -> Book:
            count = every_day(world, f"ozon/{name}", usual)
            return book(lambda day: count(day) if days(day) else 0, make, name)

        def at_once(name: str, number: int, make: Make) -> Book:
            return book(lambda day: number if day == world.first_day else 0, make, name)

        self.products = of_products(goods.product)
        self.product_attributes = of_products(partial(goods.product, text=goods.attributes_text))
        self.prices = of_products(partial(goods.product, text=goods.price_text, every=2 * DAY))
        self.stocks_fbs = of_products(partial(goods.product, text=goods.stocks_text, every=_A_WHILE))
        self.stocks_fbo_wh = of_products(partial(goods.product, text=goods.stock_in_warehouse_text, every=_A_WHILE))
        self.turnover = of_products(goods.turnover_of_product)
        self.warehouses = at_once("warehouses", 3, goods.warehouse)
        self.fbo_warehouses = at_once("fbo_warehouses", 12, goods.fbo_warehouse)

        self.fbs_postings = daily("fbs_postings", 20, orders.fbs_posting)
        self.fbo_postings = daily("fbo_postings", 8, orders.fbo_posting, _one_in_five)
        self.returns = daily("returns", 2, orders.giveback)
        self.returns_rfbs = daily("returns_rfbs", 6, orders.rfbs_return, _one_in_five)
        self.supply_orders = daily("supply_orders", 3, orders.supply_order, _one_in_five)

        self.accruals_by_day = daily("accruals_by_day", 40, money.accrual)
        self.accrual_types = at_once("accrual_types", 124, money.accrual_type)
        self.realization = daily("realization", 12, money.realized, _report_day)
        self.realization_posting = daily("realization_posting", 12, money.realized_posting, _report_day)
        self.realization_day = daily("realization_day", 3, money.realized_on_day)
        self.balance = book(lambda day: int(day >= world.first_day), money.balance_of_day, "balance")
        self.cash_flow = book(lambda day: int(day.day in {1, 16}), money.cash_flow, "cash_flow")
        self.analytics = daily("analytics", 4, money.ordered)

        self.placement = daily("placement", 2, money.placed)
        self.discounted = at_once("discounted", 5, money.discounted)

        self.seller_info = at_once("seller_info", 1, cabinet.cabinet)
        self.roles = at_once("roles", len(cabinet.ROLES), cabinet.role)
        self.reviews = daily("reviews", 6, cabinet.review, _one_in_five)
        self.questions = daily("questions", 4, cabinet.question, _one_in_five)


_A_WHILE = timedelta(hours=6)


def _one_in_five(day: date) -> bool:
    """Few days of a stream that is asked day by day: windows without a record are played, and demos stay short."""
    return day.toordinal() % 5 == 0


def _report_day(day: date) -> bool:
    return day.day == money.REPORT_DAY
