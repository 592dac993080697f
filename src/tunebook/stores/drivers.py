"""Who is at work on a study, for those who only read."""

from __future__ import annotations

from contextlib import closing

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from tunebook.stores._database import CLAIMS, STUDIES
from tunebook.stores._host import alive
from tunebook.stores.base import Holder
from tunebook.stores.sql import SqlStore


def driver_of(store: SqlStore) -> Holder | None:
    """Who writes to the study now; None when nobody does, as far as can be seen from this host. Needs no claim.

    Raises StoreError when the book cannot be read.
    """
    database = store._database
    query = select(CLAIMS).join(STUDIES, STUDIES.c.id == CLAIMS.c.study).where(STUDIES.c.name == store.study)
    try:
        with closing(database.reader()) as connection:
            row = connection.execute(query).one_or_none()
    except DBAPIError as error:
        raise database.explain(error) from error
    # the row of a driver that was killed stays until the next claim
    if row is None or not alive(row.host, row.pid):
        return None
    return Holder(row.host, row.pid, row.since, row.driver)
