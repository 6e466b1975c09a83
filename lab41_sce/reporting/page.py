"""A title and HTML become a page that contains everything it shows."""

from html import escape
from importlib import resources
from string import Template


def page(title: str, body: str) -> str:
    """Wrap the HTML of a body in a complete page with the project's style; a browser loads no other file."""
    return template("page.html.template").substitute(title=escape(title), body=body)


def template(name: str) -> Template:
    """Read a template file of this package."""
    return Template(resources.files("lab41_sce.reporting").joinpath(name).read_text("utf-8"))
