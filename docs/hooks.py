"""Equations in fences of the kind `math` become MathML, which browsers draw without scripts or fonts."""

from latex2mathml.converter import convert


def on_config(config):
    """Register the converter with the extension that reads fences."""
    fence = {"name": "math", "class": "math", "format": _mathml}
    config["mdx_configs"].setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def _mathml(source, language, css_class, options, md, **others):
    """Return the MathML of an equation in LaTeX."""
    return convert(source, display="block")
