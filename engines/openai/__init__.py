"""The engine behind an address: one or many OpenAI-compatible servers, asked over HTTP."""
