"""What a site demands beyond a host that works."""

from typing import NamedTuple


class Policy(NamedTuple):
    """`guest_bytes`: memory of the largest confidential guest, where it is configured."""

    require_floors: bool = False
    guest_bytes: int | None = None


NO_POLICY = Policy()
