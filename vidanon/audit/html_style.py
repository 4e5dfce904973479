"""The look of the HTML report: light and dark, from a phone to a wide screen, and on paper."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #f6f5f2; --card: #ffffff; --line: #dddad2; --text: #1d1f22; --soft: #5a5f66;
  --good: #1c6b45; --good-back: #e2f2e8; --bad: #a3211d; --bad-back: #fbe7e4; --warn: #7a5200; --warn-back: #fbf1d8;
  --output: #2a5bb8; --solid: #8a8f98; --others: #c08a2b; --track: #ecebe6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14161a; --card: #1d2026; --line: #343941; --text: #e8e9eb; --soft: #a3a9b3;
    --good: #7fd3a4; --good-back: #17332a; --bad: #ff9b90; --bad-back: #402020; --warn: #f0c870; --warn-back: #3a2f16;
    --output: #82aaf5; --solid: #848b96; --others: #dcae5c; --track: #2a2e36;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--text); overflow-wrap: anywhere;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--card); padding: .5rem 1rem; }
header, main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.25rem; }
h1 { font-size: clamp(1.45rem, 4.5vw, 2rem); line-height: 1.2; margin: .1rem 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .4rem; }
h3 { font-size: 1.02rem; margin: 1.4rem 0 .3rem; }
p { margin: .4rem 0 .8rem; max-width: 46rem; }
p:last-child { margin-bottom: 0; }
.eyebrow { color: var(--soft); font-size: .82rem; letter-spacing: .06em; text-transform: uppercase; margin: 0; }
.soft, figcaption, .note { color: var(--soft); }
.note { font-size: .86rem; margin: .3rem 0 .5rem; }
code { font-size: .86em; overflow-wrap: anywhere; }
.flag { white-space: nowrap; overflow-wrap: normal; }
.card > h3:first-child { margin-top: 0; font-size: 1.1rem; }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1rem 1.15rem;
  margin: .9rem 0;
}
.verdict { border-left: .45rem solid; display: grid; gap: .2rem; padding: 1rem 1.2rem; }
.verdict strong { font-size: 1.2rem; }
.verdict.good { color: var(--good); background: var(--good-back); border-color: var(--good); }
.verdict.bad { color: var(--bad); background: var(--bad-back); border-color: var(--bad); }
.verdict p, .verdict li { color: var(--text); }
.verdict ul { margin: .3rem 0 0; padding-left: 1.2rem; }
.verdict li + li { margin-top: .3rem; }
.facts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1rem 0;
  padding: 0;
}
.facts div { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: .7rem .9rem; }
.facts dt { color: var(--soft); font-size: .82rem; }
.facts dd { margin: 0; font-size: 1.3rem; font-variant-numeric: tabular-nums; line-height: 1.25; }
.facts dd small { display: block; font-size: .82rem; color: var(--soft); line-height: 1.35; }
.legend {
  display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; margin: .4rem 0 .6rem; list-style: none;
  font-size: .88rem;
}
.legend i {
  display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; margin-right: .4rem;
  vertical-align: -.06rem;
}
.output { background: var(--output); } .solid { background: var(--solid); } .others { background: var(--others); }
.measures {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.1rem 2.2rem;
}
.measure h4, .steady h4 { margin: 0 0 .3rem; font-size: .93rem; font-weight: 600; }
.steady { margin: 1.4rem 0; }
.bar { display: grid; grid-template-columns: 6.2rem minmax(0, 1fr) 3.9rem; align-items: center; }
.bar { gap: .6rem; font-size: .85rem; }
.bar + .bar { margin-top: .2rem; }
.bar .name { color: var(--soft); white-space: nowrap; }
.bar .value { text-align: right; font-variant-numeric: tabular-nums; }
.bar .way { position: relative; height: .8rem; background: var(--track); border-radius: .2rem; overflow: hidden; }
.bar .way b { position: absolute; inset: 0 auto 0 0; border-radius: .2rem; min-width: 2px; }
.bar .way u { position: absolute; top: calc(50% - 1px); height: 2px; background: var(--text); opacity: .75; }
.bar .way s { position: absolute; top: 0; bottom: 0; width: 2px; background: var(--bad); }
.bar.first .name { color: var(--text); } .bar.first .value { font-weight: 600; }
figure { margin: 1.1rem 0; }
figure svg {
  display: block; width: 100%; height: 9.5rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem;
}
figure.time svg { height: 7rem; }
.ends { display: flex; justify-content: space-between; max-width: none; margin: .2rem 0 0; }
.ends { font-size: .82rem; color: var(--soft); }
figcaption { font-size: .88rem; margin-top: .3rem; max-width: 46rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td {
  text-align: left; padding: .38rem .8rem .38rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
}
tr:last-child > * { border-bottom: 0; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.n { white-space: normal; }
th, td { overflow-wrap: normal; }
th[scope=row] { font-weight: 400; min-width: 8rem; }
.mark { white-space: nowrap; font-weight: 600; } .mark.good { color: var(--good); } .mark.bad { color: var(--bad); }
.strips { display: grid; gap: .9rem; }
.strip h3 { margin: 0 0 .35rem; font-size: .93rem; }
.strip ol { display: flex; flex-wrap: wrap; gap: .4rem; list-style: none; margin: 0; padding: 0; }
.strip li { font-size: .75rem; color: var(--soft); text-align: center; }
.strip img, .strip .hidden { display: block; width: 5.4rem; height: 5.4rem; border-radius: .4rem; object-fit: cover; }
.strip .hidden {
  display: grid; place-items: center; padding: .3rem; border: 2px dashed var(--bad); color: var(--bad);
  line-height: 1.2;
}
.strip img + img { margin-top: .25rem; }
.strip .clear img { outline: 3px solid var(--bad); outline-offset: -3px; }
.mark { margin-right: .3rem; }
.notes { padding-left: 1.2rem; } .notes li { margin: .3rem 0; max-width: 46rem; }
.warn { border-left: .45rem solid var(--warn); background: var(--warn-back); }
details summary { cursor: pointer; padding: .3rem 0; }
footer { padding-bottom: 3rem; margin-top: 2.5rem; font-size: .86rem; color: var(--soft); }
@media (max-width: 34rem) {
  body { font-size: 15px; }
  header, main, footer { padding-left: 1rem; padding-right: 1rem; }
  .card { padding: .85rem .9rem; }
  .bar { grid-template-columns: 5.2rem minmax(0, 1fr) 3.4rem; gap: .4rem; font-size: .8rem; }
  .strip img, .strip .hidden { width: 4.55rem; height: 4.55rem; }
  .facts { grid-template-columns: repeat(2, minmax(0, 1fr)); }
}
@media print { body { background: #fff; } .card, .facts div { break-inside: avoid; } details > * { display: block; } }
"""
