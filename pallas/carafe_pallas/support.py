"""Why a backend cannot run a reassembly."""


def refusal(implementation: str) -> str | None:
    """Return in words why a kernel cannot run, None where it can."""
    return f"this version ships no {implementation!r} kernel"
