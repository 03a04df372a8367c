# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the page looks: one stylesheet, light and dark, on a phone, on a large screen and on paper.

The colours of outcomes differ by at least 25 (CIE 1976) for people with any of the three kinds of colour blindness too,
and from the ground by 3 : 1; text differs from it by at least 4.5 : 1 (WCAG 2.2, 1.4.3 and 1.4.11).
"""

from __future__ import annotations

import typing as t

# What is drawn, by its name in the stylesheet. h0 to h5 are the steps of the heat map, t0 to t5 text on them.
LIGHT: t.Mapping[str, str] = {
    "ground": "#ffffff", "raised": "#f6f7f9", "ink": "#1b2128", "quiet": "#535d69", "rule": "#dfe3e8",
    "accent": "#1f5fa8",
    "delivered": "#4698df", "deferred": "#b29003", "bounced": "#892e17", "expired": "#5b0f80", "rejected": "#1f252d",
    "suppressed": "#9095a0",
    "h0": "#e9ecf0", "h1": "#fbeabb", "h2": "#efcd69", "h3": "#cf9f1b", "h4": "#8f6200", "h5": "#533600",
    "t0": "#1b2128", "t1": "#1b2128", "t2": "#1b2128", "t3": "#1b2128", "t4": "#ffffff", "t5": "#ffffff",
}
DARK: t.Mapping[str, str] = {
    "ground": "#15191e", "raised": "#1d232a", "ink": "#e8ebef", "quiet": "#a7b0bb", "rule": "#343c46",
    "accent": "#8ec2f7",
    "delivered": "#51a5ce", "deferred": "#f8cb67", "bounced": "#da574a", "expired": "#cc3ff4", "rejected": "#e4e8ed",
    "suppressed": "#616c73",
    "h0": "#262d35", "h1": "#4a3a12", "h2": "#6f5510", "h3": "#a67c12", "h4": "#d9a821", "h5": "#ffe08a",
    "t0": "#e8ebef", "t1": "#e8ebef", "t2": "#ffffff", "t3": "#0d1013", "t4": "#0d1013", "t5": "#0d1013",
}
STEPS = 6  # of the heat map
DRAWN = ("delivered", "deferred", "bounced", "expired", "rejected", "suppressed")

_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--ink);font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","DejaVu Sans",sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
main{max-width:76rem;margin:0 auto;padding:2.5rem 1.5rem 4rem}
h1{font-size:1.75rem;line-height:1.2;font-weight:650;margin:0 0 .5rem;letter-spacing:-.01em}
h2{font-size:1.25rem;line-height:1.3;font-weight:650;margin:0 0 .25rem}
h3{font-size:1rem;font-weight:600;margin:0}
p{margin:.25rem 0;max-width:68ch}
section{margin-top:3.5rem}
.quiet{color:var(--quiet)}
.note{border-left:3px solid var(--deferred);padding:.25rem .75rem;margin-top:1rem;background:var(--raised)}
dl.figures{display:grid;grid-template-columns:repeat(4,1fr);gap:1.75rem 2.25rem;margin:2.25rem 0 0}
.figures div{border-top:3px solid var(--rule);padding-top:.6rem}
dl.figures dt{color:var(--quiet);font-size:.875rem}
dl.figures dd{margin:0}
dl.figures .large{font-size:clamp(1.15rem,6vw,1.5rem);line-height:1.3;font-weight:600}
dl.figures .more{color:var(--quiet);font-size:.8125rem;line-height:1.35}
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;list-style:none;padding:0;margin:1rem 0;font-size:.875rem}
.legend li{display:flex;align-items:center;gap:.4rem}
.swatch{flex:none;width:.8rem;height:.8rem;border-radius:.15rem}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));gap:1.75rem 2.25rem;
margin:1.25rem 0 0}
figure{margin:0;min-width:0;break-inside:avoid}
figcaption{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 .75rem;align-items:baseline;
margin-bottom:.25rem}
figcaption .quiet{font-size:.8125rem}
svg{display:block;overflow:visible}
svg svg.cut{overflow:hidden}
svg text{fill:var(--quiet);font-size:11px}
svg text.name{fill:var(--ink);font-size:12px}
svg .end{text-anchor:end}
svg .middle{text-anchor:middle}
svg .axis{stroke:var(--quiet);stroke-width:1}
svg .line{stroke:var(--rule);stroke-width:1}
svg .range{stroke:var(--accent);stroke-width:2}
svg .stroke{fill:var(--accent)}
svg .mark{fill:var(--accent);stroke:var(--ground);stroke-width:1.5}
svg .hit{fill:transparent}
svg g:hover>.hit{fill:var(--ink);fill-opacity:.08}
details{margin-top:1rem}
summary{cursor:pointer;color:var(--accent);width:fit-content}
summary:focus-visible,.wide:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:.2rem}
.wide{overflow-x:auto;margin-top:1rem;max-width:100%;background:
linear-gradient(to right,var(--ground) 30%,transparent) left/2rem 100% no-repeat local,
linear-gradient(to left,var(--ground) 30%,transparent) right/2rem 100% no-repeat local,
linear-gradient(to right,var(--rule),transparent) left/.75rem 100% no-repeat scroll,
linear-gradient(to left,var(--rule),transparent) right/.75rem 100% no-repeat scroll}
.panels+.wide{margin-top:2.25rem}
details>.wide{max-height:30rem;overflow-y:auto}
table{border-collapse:collapse;width:100%;font-size:.875rem;overflow-wrap:normal}
caption{text-align:left;color:var(--quiet);padding-bottom:.4rem}
th,td{padding:.35rem .75rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
th:first-child,td:first-child{padding-left:0}
thead th{font-weight:500;color:var(--quiet);vertical-align:bottom}
tbody th,.left{text-align:left;font-weight:500}
tbody th{max-width:min(22rem,45vw);overflow:hidden;text-overflow:ellipsis}
tfoot th,tfoot td{font-weight:600;border-bottom:0}
tfoot th{text-align:left}
.zero{color:var(--quiet)}
h3.scope{margin:1.5rem 0 .25rem}
h3.scope .quiet{font-weight:400;margin-left:.5rem}
details.reason{margin:0;border-bottom:1px solid var(--rule)}
details.reason>summary{width:auto;color:var(--ink);list-style:none;display:grid;gap:0 1rem;align-items:center;
grid-template-columns:1rem 11rem 7rem 1fr;padding:.45rem 0}
details.reason>summary::-webkit-details-marker{display:none}
details.reason>summary::before{content:"+";color:var(--accent);text-align:center}
details.reason[open]>summary::before{content:"\\2212"}
details.reason .many{text-align:right;white-space:nowrap}
details.reason .why{padding:0 0 1rem 2rem}
blockquote b{font:600 .8125rem/1.5 system-ui,sans-serif;margin-right:.5rem}
blockquote{margin:.6rem 0 0;padding:.4rem .75rem;border-left:3px solid var(--rule);background:var(--raised);
font:.8125rem/1.5 ui-monospace,"Cascadia Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
.heat{display:grid;grid-template-columns:fit-content(9rem) 1fr;gap:3px .75rem;align-items:center;margin:1rem 0}
.heat .name{overflow:hidden;text-overflow:ellipsis;white-space:nowrap;font-size:.8125rem}
.heat text{font-size:10.5px}
footer{margin-top:4rem;padding-top:1rem;border-top:1px solid var(--rule);color:var(--quiet);font-size:.875rem}
@media (max-width:46rem){
main{padding:1.5rem 1rem 3rem}
section{margin-top:2.75rem}
h1{font-size:1.4rem}
.heat .share{display:none}
.heat{grid-template-columns:fit-content(5.5rem) 1fr}
dl.figures{grid-template-columns:repeat(2,1fr);gap:1.5rem 1.25rem}
details.reason>summary{grid-template-columns:1rem 1fr auto;gap:.1rem .5rem}
details.reason>summary svg{grid-column:2/4;grid-row:2}
details.reason .why{padding-left:1.5rem}
}
@media print{
@page{margin:15mm}
body{font-size:10pt;-webkit-print-color-adjust:exact;print-color-adjust:exact}
main{max-width:none;padding:0}
section{margin-top:2rem}
h2,h3,caption{break-after:avoid}
tr,details.reason>summary,dl.figures div{break-inside:avoid}
.wide,details>.wide{overflow:visible;max-height:none}
details:not([open]):not(.reason){display:none}
.panels{grid-template-columns:repeat(2,1fr)}
}
"""


def _variables(colours: t.Mapping[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


def style() -> str:
    """The stylesheet."""
    made = [f".{name}{{fill:var(--{name});background:var(--{name})}}.figures .of-{name}{{border-color:var(--{name})}}"
            for name in DRAWN]
    for step in range(STEPS):
        made.append(f".h{step}{{fill:var(--h{step});background:var(--h{step})}}"
                    f".heat text.t{step}{{fill:var(--t{step})}}")
    return (f":root{{color-scheme:light dark;{_variables(LIGHT)}}}\n"
            f"@media (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}\n"
            f"@media print{{:root{{color-scheme:light;{_variables(LIGHT)}}}}}" + _RULES + "\n".join(made) + "\n")
