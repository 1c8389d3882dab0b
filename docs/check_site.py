"""Looks at the pages that were built: each link within them leads somewhere, and nothing is loaded from elsewhere.

Sphinx itself refuses a link to a page, a heading or a name that is not there; what a page says as plain HTML, and what
a theme adds to it, it does not look at.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page has places for, where it leads, and what a browser loads for it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.places.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical", "index", "search", "next", "prev"):
            self.loads.append(given.get("href", ""))
        elif "src" in given:
            self.loads.append(given["src"])


def faults(site: Path) -> list[str]:
    """What is wrong with a site, one line each."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found: list[str] = []
    for path, page in pages.items():
        here = path.relative_to(site)
        for link in dict.fromkeys([*page.links, *page.loads]):
            scheme, host, where, _, place = urlsplit(link)
            if scheme or host:
                found += [f"{here} loads {link}"] * (link in page.loads and scheme != "data")
                continue
            target = (path.parent / unquote(where)).resolve() if where else path
            if not target.is_file():
                found.append(f"{here}: {link} leads nowhere")
            elif place and place not in ("", "top") and target in pages and unquote(place) not in pages[target].places:
                found.append(f"{here}: {link} leads to no place of that page")
    for path in sorted(site.rglob("*.css")):
        for what in re.findall(
            r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')]+)""", path.read_text(encoding="utf-8")
        ):
            found.append(f"{path.relative_to(site)} loads {what}")
    return found
