"use strict";
// Draws the plots when the library has been read, shows the image that is pointed at, and fits everything on paper.
const PAPER = 660; // pixels between the margins of an A4 page

function drawAll() {
  for (const figure of document.querySelectorAll(".plot")) {
    const drawn = figure.querySelector(".drawn");
    if (!window.Plotly) {
      drawn.textContent = "The plot needs plotly.min.js beside this page; the tables hold the same figures.";
      continue;
    }
    const spec = JSON.parse(figure.querySelector("script").textContent);
    Plotly.newPlot(drawn, spec.data, spec.layout, { responsive: true, displaylogo: false, displayModeBar: "hover" });
    const pointed = figure.querySelector(".pointed");
    if (pointed) drawn.on("plotly_hover", (event) => show(pointed, event.points[0].customdata));
  }
}

function show(pointed, [address, text]) {
  const image = new Image();
  image.src = address;
  const lines = text.split("<br>");
  image.alt = lines.join(", ");
  const words = document.createElement("p");
  words.className = "note";
  words.append(...lines.flatMap((line) => [line, document.createElement("br")]));
  pointed.replaceChildren(image, words);
}

function resize(layout) {
  if (window.Plotly) document.querySelectorAll(".js-plotly-plot").forEach((drawn) => Plotly.relayout(drawn, layout));
}

addEventListener("DOMContentLoaded", drawAll);
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((details) => { details.open = true; });
  resize({ width: PAPER, autosize: false });
});
addEventListener("afterprint", () => resize({ width: null, autosize: true }));
