"""The one table: everything that can go wrong, whose fault it is, what happens next and what is stored."""

from sandbox.faults import cases_answers, cases_bodies, cases_connections, cases_ours, cases_paging
from sandbox.faults.case import Case, Group

CATALOGUE: dict[Group, tuple[Case, ...]] = {
    Group.ANSWERS: cases_answers.CASES,
    Group.BODIES: cases_bodies.CASES,
    Group.CONNECTIONS: cases_connections.CASES,
    Group.PAGING: cases_paging.CASES,
    Group.OURS: cases_ours.CASES,
}


def case(name: str) -> Case:
    """Return the case of this name."""
    return next(case for cases in CATALOGUE.values() for case in cases if case.name == name)
