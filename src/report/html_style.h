// The page's style. Colours are the variables of theme.h; nothing is fetched.
#pragma once

namespace teeny::report {

inline constexpr const char* kStyle = R"css(
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--surface);color:var(--text);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1200px;margin:0 auto;padding:56px 40px 80px}
a{color:var(--accent)}
.kicker{margin:0 0 10px;font-size:13.5px;color:var(--muted)}
h1{margin:0;font-size:19px;line-height:1.35;font-weight:600;overflow-wrap:anywhere}
.headline{margin:14px 0 0;max-width:30em;font-size:31px;line-height:1.26;font-weight:650;letter-spacing:-.018em;text-wrap:balance;overflow-wrap:anywhere}
.caveat{margin:12px 0 0;max-width:44em;color:var(--muted);font-size:15px}
.tiles{display:flex;flex-wrap:wrap;gap:20px 56px;margin:32px 0 0;padding:0;list-style:none}
.tiles b{display:block;font-size:27px;line-height:1.2;font-weight:650;letter-spacing:-.015em}
.tiles span{display:block;font-size:14px}
.tiles small{display:block;font-size:13px;color:var(--muted)}
.notice{margin:28px 0 0;padding:10px 14px;border-left:3px solid var(--bad);background:var(--tint);font-size:14.5px}
h2{margin:64px 0 6px;font-size:21px;line-height:1.3;letter-spacing:-.01em}
h2+p.lead{margin:0 0 18px;color:var(--muted);font-size:14.5px;max-width:46em}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
.scroll:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
table{border-collapse:separate;border-spacing:0;font-size:14px;line-height:1.35;min-width:100%}
th,td{padding:9px 11px;text-align:left;vertical-align:top;white-space:nowrap;border-bottom:1px solid var(--grid)}
th{font-weight:600;color:var(--muted);font-size:13px;vertical-align:bottom}
thead tr:last-child th{border-bottom:1px solid var(--axis)}
tr.groups th{border-bottom:0;padding-bottom:0;color:var(--text)}
td.n,th.n{text-align:right}
td small{display:block;color:var(--muted);font-size:12.5px}
td:first-child,th:first-child{position:sticky;left:0;background:var(--surface);z-index:1}
.scroll td:first-child,.scroll th:first-child{padding-left:0}
tbody tr.reference td{background:var(--tint)}
tbody th{color:var(--text);font-size:14px;text-align:left}
.mark{display:inline-block;width:9px;height:9px;border-radius:5px;margin-right:8px}
.name{font-weight:600}
td.first small{padding-left:17px;max-width:230px;overflow:hidden;text-overflow:ellipsis}
.good{color:var(--good)}.bad{color:var(--bad);font-weight:600}.quiet{color:var(--muted)}
tr.projected td{color:var(--muted)}
.figures{display:grid;grid-template-columns:1fr 1fr;gap:48px 48px;margin-top:26px}
figure{margin:0;min-width:0}
figure.full{grid-column:1/-1}
figure h3{margin:0 0 10px;font-size:16.5px;line-height:1.3}
figure svg{display:block;width:100%;height:auto;overflow:visible}
figure svg text{font-variant-numeric:tabular-nums}
figure .phone{display:none}
h3.part{margin:26px 0 2px;font-size:16px}
figcaption{margin-top:10px;font-size:13.5px;line-height:1.45;color:var(--muted);max-width:62em}
ul.notes{margin:12px 0 0;padding-left:20px;font-size:14.5px;max-width:56em}
ul.notes li{margin:5px 0;overflow-wrap:anywhere}
details{margin-top:18px}
summary{cursor:pointer;font-size:14.5px;color:var(--accent)}
details .ids{font-size:13px;color:var(--muted);overflow-wrap:anywhere}
footer{margin-top:72px;padding-top:16px;border-top:1px solid var(--grid);font-size:13px;color:var(--muted)}
@media (max-width:920px){.figures{grid-template-columns:1fr}}
@media (max-width:600px){
main{padding:28px 20px 56px}
.scroll{margin-right:-20px}
.headline{font-size:23px}
h2{margin-top:48px}
.tiles{display:grid;grid-template-columns:1fr 1fr;gap:20px}
.tiles b{font-size:23px}
.figures{gap:40px}
figure .page{display:none}figure .phone{display:block}
th,td{padding:8px 9px}
td.first small{max-width:112px}
.scroll td:first-child,.scroll th:first-child{border-right:1px solid var(--grid)}
td.first .name{white-space:normal}
td.first{min-width:152px;max-width:160px}
}
@media print{body{background:#fff}main{max-width:none;padding:0}.scroll{overflow:visible}figure{break-inside:avoid}table{font-size:10px}}
)css";

}  // namespace teeny::report
