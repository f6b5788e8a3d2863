"""Exit statuses as shells tell them. Runs inside boxes too, so it imports nothing."""


def exit_status(code: int) -> int:
    """Of a process whose code is negative where a signal ended it: 128 + n for signal n."""
    return code if code >= 0 else 128 - code
