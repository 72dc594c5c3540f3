"""The page's style sheet. Light and dark follow the reader's system; print is light."""

from __future__ import annotations

from neurosparse.report.theme import COLOURS

_PAGE = {"page": ("#f4f6f8", "#111519"), "sunken": ("#f0f3f5", "#232a31")}

_RULES = """
*{box-sizing:border-box}
html{color-scheme:light dark;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);line-height:1.55;font-size:16px;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans",
"Liberation Sans",Arial,sans-serif}
main,header,footer{max-width:1080px;margin:0 auto;padding:0 24px}
header{padding-top:44px;padding-bottom:6px}
.kind{margin:0 0 6px;color:var(--soft);font-size:.82rem;letter-spacing:.07em;
text-transform:uppercase}
h1{margin:0;font-size:2.1rem;line-height:1.18;letter-spacing:-.018em;font-weight:680;
overflow-wrap:anywhere}
.lead{margin:10px 0 0;font-size:1.1rem;color:var(--soft);max-width:44em}
nav{margin:18px 0 0;font-size:.92rem}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:4px 18px;margin:0;padding:0}
a{color:var(--strong);text-decoration:none}a:hover{text-decoration:underline}
:focus-visible{outline:2px solid var(--strong);outline-offset:2px;border-radius:3px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(215px,1fr));gap:14px;margin:22px 0}
.tile,section{background:var(--surface);border:1px solid var(--rule);border-radius:12px}
.tile{padding:16px 18px}
.tile h2{margin:0;font-size:.84rem;font-weight:600;color:var(--soft);letter-spacing:0}
.tile p{margin:0;font-size:.875rem;color:var(--soft)}
.tile .value{margin:4px 0 2px;color:var(--ink);font-size:1.6rem;line-height:1.2;
font-weight:660;letter-spacing:-.015em;font-variant-numeric:tabular-nums}
section{margin:18px 0;padding:24px 28px 22px}
h2{margin:0 0 6px;font-size:1.24rem;line-height:1.3;letter-spacing:-.01em;font-weight:650}
h3{margin:22px 0 4px;font-size:1rem;font-weight:650}
section>p{margin:0 0 14px;max-width:50em}
p.note,.note{color:var(--soft);font-size:.9rem}
figure{margin:14px 0 4px}
.plot{display:block;width:100%;height:auto;overflow:visible;font-variant-numeric:tabular-nums}
.narrow{display:none;max-width:440px;margin:0 auto}
.scroll{overflow-x:auto;margin:8px 0}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.94rem}
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);
white-space:nowrap}
th,td{padding:8px 0 8px 22px;text-align:right;border-bottom:1px solid var(--rule);
vertical-align:top}
th:first-child{padding-left:0;text-align:left}
thead th{color:var(--soft);font-weight:600;font-size:.86rem;vertical-align:bottom}
tbody th{font-weight:500}
tbody tr:last-child>*{border-bottom:0}
td{white-space:nowrap}
td .breaks{white-space:normal}
td .note,th .note{display:block;font-weight:400;font-size:.8rem;white-space:normal}
table.dense th,table.dense td{padding:3px 0 3px 16px;font-size:.82rem;white-space:nowrap}
table.dense th:first-child{padding-left:0}
.bar{display:block;height:8px;margin-top:6px;border-radius:4px;background:var(--sunken);min-width:110px}
.bar span{display:block;height:100%;border-radius:4px;background:var(--strong);min-width:2px}
.bar span.packed{background:var(--warm)}
blockquote{margin:12px 0 0;padding:14px 18px;border-radius:8px;background:var(--sunken);
white-space:pre-wrap;overflow-wrap:anywhere;font-family:Georgia,"Times New Roman",
"Liberation Serif",serif;font-size:1.04rem}
blockquote .prompt{color:var(--soft)}
ul.notes{margin:6px 0 0;padding-left:1.2em}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:0 32px;
margin:4px 0 8px}
dl>div{display:flex;justify-content:space-between;gap:18px;padding:6px 0;
border-bottom:1px solid var(--rule);font-size:.9rem}
dt{color:var(--soft);flex:none}
dd{margin:0;text-align:right;overflow-wrap:anywhere;min-width:0;font-variant-numeric:tabular-nums}
details{margin-top:10px;font-size:.92rem}
summary{cursor:pointer;color:var(--strong);padding:4px 0;width:fit-content}
footer{padding-top:4px;padding-bottom:44px;color:var(--soft);font-size:.85rem}
@media (max-width:700px){
main,header,footer{padding-left:14px;padding-right:14px}
header{padding-top:26px}
h1{font-size:1.6rem}.lead{font-size:1rem}
section{padding:18px 16px 16px;border-radius:10px}
.tiles{grid-template-columns:1fr 1fr;gap:10px}
.tile{padding:12px 13px}.tile .value{font-size:1.22rem}.tile p{font-size:.8rem}
.wide{display:none}.narrow{display:block}
th,td{padding-left:12px;font-size:.84rem}thead th{font-size:.78rem}
dl{grid-template-columns:1fr}
.bar{min-width:70px}
}
@media print{section,.tile{break-inside:avoid}nav{display:none}}
"""


def style_sheet() -> str:
    """All of the page's CSS."""
    every = {**_PAGE, **COLOURS}
    light = ";".join(f"--{name}:{pair[0]}" for name, pair in every.items())
    dark = ";".join(f"--{name}:{pair[1]}" for name, pair in every.items())
    return (f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
            f"{_RULES}")
