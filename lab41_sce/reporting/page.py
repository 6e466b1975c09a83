"""A title and HTML become a page that contains everything it shows."""

import base64
from html import escape
from importlib import resources
from string import Template


def page(title: str, body: str) -> str:
    """Wrap the HTML of a body in a complete page with the project's style; a browser loads no other file."""
    return template("page.html.template").substitute(title=escape(title), body=body)


def data_uri(kind: str, contents: bytes) -> str:
    """Put the bytes of a file into an address for a page; `kind` is a media type such as "image/png"."""
    return f"data:{kind};base64,{base64.b64encode(contents).decode()}"


def picture(png: bytes, description: str) -> str:
    """Show a PNG image in a box that scrolls if the image is wider than the screen."""
    image = f'<img alt="{escape(description)}" src="{data_uri("image/png", png)}">'
    return f'<div class="scroll" tabindex="0">{image}</div>'


def template(name: str) -> Template:
    """Read a template file of this package."""
    return Template(resources.files("lab41_sce.reporting").joinpath(name).read_text("utf-8"))
