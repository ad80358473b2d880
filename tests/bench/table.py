"""What was measured, beside what was promised."""
import statistics


def median(values):
    return statistics.median(values) if values else float("nan")


class Table:
    def __init__(self):
        self.rows = []

    def add(self, what, figure, unit, bound=None, holds=None, samples=()):
        """One figure. `bound` is the promise in words, `holds` whether it is kept."""
        self.rows.append({"what": what, "figure": figure, "unit": unit, "bound": bound, "holds": holds, "samples": list(samples)})
        kept = "" if holds is None else (" ok" if holds else " NOT KEPT")
        print(f"  {what}: {shown(figure)} {unit}{f' (promised: {bound}){kept}' if bound else ''}", flush=True)

    def markdown(self):
        lines = ["| what | figure | promised | kept |", "|---|---|---|---|"]
        for row in self.rows:
            kept = "" if row["holds"] is None else ("yes" if row["holds"] else "**no**")
            spread = ""
            if len(row["samples"]) > 1:
                spread = f" ({shown(min(row['samples']))}–{shown(max(row['samples']))})"
            lines.append(f"| {row['what']} | {shown(row['figure'])} {row['unit']}{spread} | {row['bound'] or ''} | {kept} |")
        return "\n".join(lines)


def shown(figure):
    if isinstance(figure, float):
        return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"
    return f"{figure:,}" if isinstance(figure, int) else str(figure)
