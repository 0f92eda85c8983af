"""The codec: a value is read as the class that is named."""

from __future__ import annotations

from newsroom import Article, Order

from agentflow_trio import CodecError
from agentflow_trio.codec import dump, from_data, load

# ---- what is loaded has the class that was named
order: Order = load(Article, "{}")  # bad

# ---- what is made of data has the class that was named
order_too: Order = from_data(Article, {"topic": "trio"})  # bad

# ---- load by the name of the class
load("Article", "{}")  # bad

# ---- load without the class
load("{}")  # bad

# ---- load from data instead of text
load(Article, {"topic": "trio"})  # bad

# ---- what is dumped is text
data: dict[str, object] = dump(Article("trio"))  # bad


# ---- the mismatches of an error are records, not text
def texts(error: CodecError) -> list[str]:
    return [*error.mismatches]  # bad
