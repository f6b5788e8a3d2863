"""Where an upstream's endpoints are."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from deliberate.engines.errors import InvalidRequest

_VERSION = re.compile(r"/v\d\w*(/|$)")


@dataclass(frozen=True, slots=True)
class Address:
    """One base URL, which ends in its version (`…/v1`) or goes on after it (`…/v1beta/openai`)."""

    base: str

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Take an address as people write it. Raises InvalidRequest for what is no HTTP address."""
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidRequest(f"An upstream is an address such as http://host:8000/v1; got {url!r}.", param="urls")
        base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        return cls(base if _VERSION.search(parts.path) else base + "/v1")

    def __str__(self) -> str:
        return self.base

    @property
    def completions(self) -> str:
        return self.base + "/completions"

    @property
    def chat(self) -> str:
        return self.base + "/chat/completions"

    @property
    def models(self) -> str:
        return self.base + "/models"

    def beside(self, path: str) -> str:
        """An endpoint of vLLM that stands beside `/v1`, such as `/tokenize`."""
        return self.base.removesuffix("/v1") + path
