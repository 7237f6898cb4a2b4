"""Draws bar charts as SVG. The page shows the same figures in a table below each chart."""

from collections.abc import Sequence
from html import escape

WIDTH, BAR_HEIGHT, AROUND = 800, 28, 140
"""Lengths in units of the drawing, which is as wide as the page."""
INK, LINES, BARS = "#1c2227", "#c6cdd2", "#0a5273"


def bars(title: str, measured: Sequence[tuple[str, float]]) -> str:
    """Return a bar chart with a label for screen readers, or an empty text if there is nothing to draw."""
    if not measured:
        return ""
    import leather
    from leather import theme

    theme.title_font_family = theme.tick_font_family = "sans-serif"
    theme.title_color = theme.label_color = theme.zero_color = INK
    theme.tick_color, theme.background_color = LINES, "#ffffff"
    chart = leather.Chart(title)
    chart.add_x_scale(0, max(1, *(value for _, value in measured)))
    chart.add_bars([(value, name) for name, value in measured], fill_color=BARS)
    height = AROUND + BAR_HEIGHT * len(measured)
    drawn: str = chart.to_svg(width=WIDTH, height=height)
    frame = f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {WIDTH} {height}"'
    return frame + drawn.removeprefix(f'<svg width="{WIDTH}" height="{height}"')
