"""Parts of the pictures: elements with escaped attributes and texts."""

from __future__ import annotations

from html import escape


def element(name: str, *children: str, **attributes: object) -> str:
    """An SVG element. `class_` stands for `class`, other underscores for hyphens; attributes of None are left out. A
    child is markup already: texts come from `text`."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_shown(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{given}>{''.join(children)}</{name}>" if children else f"<{name}{given}/>"


def text(content: str, **attributes: object) -> str:
    """A text at a place."""
    return element("text", escape(content), **attributes)


def title(content: str) -> str:
    """What is shown on hover."""
    return element("title", escape(content))


def picture(identity: str, name: str, description: str, width: int, height: int, *children: str, class_: str) -> str:
    """A whole picture with its accessible name and description. `identity` is unique within the page."""
    return element(
        "svg",
        element("title", escape(name), id=f"{identity}-title"),
        element("desc", escape(description), id=f"{identity}-desc"),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        role="img",
        viewBox=f"0 0 {width} {height}",
        aria_labelledby=f"{identity}-title",
        aria_describedby=f"{identity}-desc",
        class_=class_,
    )


def _shown(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
