"""Hooks of mkdocs: the pages of the repository's root on the site, and files for its API reference that we have anyway.

README.md, CONTRIBUTING.md, CHANGELOG.md and SECURITY.md stay where a visitor of the repository looks for them. On the
site they are pages like the others, so their links, and links to them, are turned. A link to a file that is no page
becomes its text.
"""

import posixpath
import re
from importlib.resources import files as files_of
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "reporting.md",
}
"""Of the repository's root, and their names on the site."""

SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css")
"""The same files that the control plane serves at `/docs`, from the package that has them."""

_LINK = re.compile(r"(?P<text>!?\[[^\]]*\])\((?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)")
_TIGHT_LIST = re.compile(r"^(?![ \t]|[-*+] |\d+\. |[|>#])(.+)\n(?=(?:[-*+]|\d+\.) )", re.M)
_PATH = re.compile(r"(?<=<code>)[\w./:-]+/[\w./:-]+(?=</code>)")
_CODE = re.compile(r"(?<=<code>)[^<]*(?=</code>)")
_FENCE = re.compile(r"(^```.*?^```)", re.M | re.S)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    root = Path(config.docs_dir).parent
    for source, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, content=(root / source).read_text()))
    for name in SWAGGER:
        path = Path(str(files_of("fastapi_offline"))) / "static" / name
        files.append(File.generated(config, f"assets/{name}", content=path.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links, and part a list from the line before it, which mkdocs wants; leave fences alone."""
    on_site = {site: root for root, site in ROOT_PAGES.items()}
    here = on_site.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    parts = _FENCE.split(markdown)
    for index in range(0, len(parts), 2):
        apart = _TIGHT_LIST.sub(r"\1\n\n", parts[index])
        parts[index] = _LINK.sub(lambda link: turned(link, here, page.file.src_uri, files), apart)
    return "".join(parts)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A bar in a table's code is a bar, as on GitHub. Lines may break after it, in paths after a slash or a colon."""
    html = _CODE.sub(lambda code: code[0].replace("\\|", "|<wbr>"), html)
    return _PATH.sub(lambda code: re.sub(r"([/:])(?=\w)", r"\1<wbr>", code[0]), html)


def turned(link: re.Match[str], here: str, page: str, files: Files) -> str:
    """One link of the file `here` of the repository, which is `page` on the site."""
    target = link["target"]
    if not target or ":" in target:
        return link[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
    site = ROOT_PAGES.get(path, path.removeprefix("docs/"))
    if files.get_file_from_path(f"{site}/README.md") is not None:
        site = f"{site}/README.md"  # a folder, of which a visitor of the repository sees this page
    if files.get_file_from_path(site) is None:
        if path.startswith("docs/"):
            return link[0]  # a dead link, which the strict build names
        return link["text"].lstrip("!")[1:-1]
    return f"{link['text']}({posixpath.relpath(site, posixpath.dirname(page) or '.')}{link['anchor'] or ''})"
