"""Sending mail: a request to a mail service over HTTP, and what its answers mean.

Law: each mail carries a key, and the service takes a key once. So a mail that was sent, and of which we do not know
whether it arrived, is simply sent again.
"""

from __future__ import annotations

import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen


class MailRefused(Exception):
    """The service will never take this mail; trying again is no use."""


class MailUnavailable(Exception):
    """The service cannot take it just now."""


def send_mail(url: str, *, key: str, to: str, subject: str, text: str) -> str:
    """Hand a mail to the service; gives its receipt."""
    body = json.dumps({"to": to, "subject": subject, "text": text}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    try:
        with urlopen(Request(url, body, headers), timeout=10) as answer:  # noqa: S310  # the URL is the shop's own setting
            receipt: str = json.load(answer)["receipt"]
            return receipt
    except HTTPError as error:
        error.close()
        if error.code < 500:
            raise MailRefused(f"the mail server refuses {to} ({error.code})") from error
        raise MailUnavailable(f"the mail server answers {error.code}") from error
    except OSError as error:
        raise MailUnavailable(f"the mail server does not answer: {error}") from error
