"use strict";
const report = JSON.parse(document.getElementById("data").textContent);
document.body.append(tip);
showCurves(document.getElementById("curves"), report.runs, report.curves);
showSamples(document.getElementById("samples"), report.runs, report.samples);
showScaling(document.getElementById("scaling"), report.scaling);
