"""When a zone's offset changes: found by asking it.

Law: nothing is known of a zone but what it answers. It is looked at every other day in wall time, which it answers
fastest, and the change is halved down to its second wherever two looks differ. In the whole of the zone database no
change is undone within less than 3.9 days (Freetown 1939), so that no look misses one. Seconds are whole seconds since
the epoch.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from rota.triggers.base import EPOCH, WALL_EPOCH

DAY: Final = 86_400

FIRST_SECOND: Final = -62_135_596_800
LAST_SECOND: Final = 253_402_300_799
"""The instants a datetime can tell: the years 1 to 9999."""

REACH: Final = 2 * DAY
"""No clock is further from UTC, and none has ever been moved further."""

LOOK: Final = 2 * DAY
"""How far apart the looks are."""

_LOOK: Final = timedelta(seconds=LOOK)
_SECOND: Final = timedelta(seconds=1)


def changes_between(tz: ZoneInfo, low: int, high: int) -> list[int]:
    """The instants from ``low`` to ``high`` at which the offset of ``tz`` changes."""
    # Looked for on the wall, which a zone answers fastest: its times are at most REACH away from the instants.
    start, end = (min(max(wall, FIRST_SECOND), LAST_SECOND - LOOK) for wall in (low - REACH, high + REACH))
    found: list[int] = []
    wall = WALL_EPOCH + timedelta(seconds=start)
    offset = tz.utcoffset(wall)
    for _ in range(start, end, LOOK):
        later = wall + _LOOK
        if tz.utcoffset(later) != offset:
            found += _changes_on_the_wall(tz, wall, later)
            offset = tz.utcoffset(later)
        wall = later
    return [instant for instant in found if low < instant < high]


def _changes_on_the_wall(tz: ZoneInfo, low: datetime, high: datetime) -> list[int]:
    """The instants of the changes between two wall times that differ in their offset."""
    found = []
    while (before := tz.utcoffset(low)) != (last := tz.utcoffset(high)):
        low = _first_other(tz, low, high)
        after = tz.utcoffset(low)
        if before is None or after is None or last is None:
            break
        # Asked for the first of two, or for a time in a gap, a zone goes by the offset before the change; so what was
        # found is where the change ends on the wall: the later of its two wall times.
        found.append((low - WALL_EPOCH - max(before, after)) // _SECOND)
    return found


def _first_other(tz: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The first wall time up to ``high`` with another offset than ``low``."""
    offset = tz.utcoffset(low)
    while high - low > _SECOND:
        middle = low + (high - low) // _SECOND // 2 * _SECOND
        if tz.utcoffset(middle) == offset:
            low = middle
        else:
            high = middle
    return high


def offset_at(tz: ZoneInfo, second: int) -> int:
    """Seconds ahead of UTC at an instant; near the ends of the calendar, where none can be told, as near by."""
    second = min(max(second, FIRST_SECOND + REACH), LAST_SECOND - REACH)
    told = (EPOCH + timedelta(seconds=second)).astimezone(tz).utcoffset()
    return 0 if told is None else told.days * DAY + told.seconds
