"""A chat server with planned failures, for tests of judges that ask an endpoint."""

from __future__ import annotations

from halo_judge.testing.chat_server import FAULTS, ChatReply, ChatServer, planned_faults
from halo_judge.testing.deviations import DEVIATIONS, Deviation

__all__ = ["DEVIATIONS", "FAULTS", "ChatReply", "ChatServer", "Deviation", "planned_faults"]
