"""The engine behind an address: one or many OpenAI-compatible servers, asked over HTTP.

`connect` gives an engine and `connect_scorer` a reward model, both from `UpstreamOptions`; `serves_rewards` tells which
of the two is there. One call's way:
`engine` makes it a `calls.Call`, `fleet` leases it a place at one `upstream`, `wire` reads the answer's events, and the
call turns them into deltas; what breaks on the way is asked anew (`retry`).
"""

from deliberate.engines.openai.connecting import connect, connect_scorer, serves_rewards
from deliberate.engines.openai.options import UpstreamOptions

__all__ = ["UpstreamOptions", "connect", "connect_scorer", "serves_rewards"]
