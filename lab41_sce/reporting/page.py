"""A title and HTML become a page that stands alone: nothing is fetched."""

from html import escape
from importlib import resources
from string import Template


def page(title: str, body: str) -> str:
    """Make a page of its own of a title and of HTML for its body; nothing is fetched."""
    return template("page.html.template").substitute(title=escape(title), body=body)


def template(name: str) -> Template:
    """Read a template of this package."""
    return Template(resources.files("lab41_sce.reporting").joinpath(name).read_text("utf-8"))
