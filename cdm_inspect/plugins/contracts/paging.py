"""Reading all inspections there are, of a store that others write to. Loads without torch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cdm_inspect.errors import StoreUnreachable
from cdm_inspect.plugins.contracts.stores import InspectionReader
from cdm_inspect.records import InspectionQuery, Order, StoredInspection

_PAGE = 1000
_PATIENCE_SECONDS = 15.0


def read_forwards(
    store: InspectionReader, query: InspectionQuery
) -> Iterator[Sequence[StoredInspection]]:
    """Pages of what matches, oldest first, up to what there is now.

    An empty page is not the end while a part is on its way, and parts that arrive meanwhile have
    none.

    Args:
        query: its order, page and limit do not count.

    Raises:
        StoreUnreachable: if parts are on their way for too long.
    """
    newest = store.find(replace(query, order=Order.NEWEST, after_id=None, limit=1))
    last, end = 0, newest[0].id if newest else 0
    patience = time.monotonic() + _PATIENCE_SECONDS
    while last < end:
        following = replace(query, order=Order.OLDEST, after_id=last, limit=_PAGE)
        page = [part for part in store.find(following) if part.id <= end]
        if page:
            yield page
            last = page[-1].id
            patience = time.monotonic() + _PATIENCE_SECONDS
        elif store.get(end) is None:
            return  # deleted meanwhile, and all before it are given
        elif time.monotonic() > patience:
            raise StoreUnreachable(
                "some parts are still being written, and not all could be read. Do it again."
            )
        else:
            time.sleep(0.1)
