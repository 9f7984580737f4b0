// What is pointed at lights up, with all that is of the same piece of the text, or of a part of it; what is of a larger
// piece around it lights up faintly. A click holds that, and brings the other panels there; another one lets go.
"use strict";

const spansOf = (element) => element.dataset.spans.split(" ").filter(Boolean).map((one) => one.split("-").map(Number));
const items = [...document.querySelectorAll("[data-spans]")]
  .map((element) => ({ element, spans: spansOf(element) }))
  .filter((item) => item.spans.length);
const pieces = [...document.querySelectorAll("#text span")]
  .map((element) => ({ element, spans: [[Number(element.dataset.from), Number(element.dataset.to)]] }));
const within = (inner, outer) => outer[0] <= inner[0] && inner[1] <= outer[1];

// The smallest pieces of the text that anything is of, and that a place lies in.
function innermost(place) {
  const around = items.flatMap((item) => item.spans).filter((span) => within(place, span));
  const least = Math.min(...around.map(([start, end]) => end - start));
  return around.filter(([start, end]) => end - start === least);
}

let held = null;

function light(spans) {
  for (const { element, spans: own } of [...items, ...pieces]) {
    const lit = own.some((one) => spans.some((span) => within(one, span)));
    element.classList.toggle("lit", lit);
    element.classList.toggle("around", !lit && own.some((one) => spans.some((span) => within(span, one))));
  }
}

function spansAt(target) {
  const piece = target.closest("#text span");
  if (piece) return innermost([Number(piece.dataset.from), Number(piece.dataset.to)]);
  const item = target.closest("[data-spans]");
  return item ? spansOf(item) : [];
}

// Brings the first thing that is lit into sight in each panel but the one that was clicked.
function bring(from) {
  for (const body of document.querySelectorAll(".body")) {
    const first = body.querySelector(".lit");
    if (!first || body.contains(from)) continue;
    const there = first.getBoundingClientRect(), here = body.getBoundingClientRect();
    if (there.top < here.top || there.bottom > here.bottom) body.scrollTop += there.top - here.top - here.height / 3;
    if (there.left < here.left || there.left > here.right) body.scrollLeft += there.left - here.left - here.width / 3;
  }
}

document.addEventListener("mouseover", (event) => { if (!held) light(spansAt(event.target)); });
document.addEventListener("click", (event) => {
  const spans = spansAt(event.target);
  held?.classList.remove("held");
  held = spans.length ? event.target.closest("#text span, [data-spans]") : null;
  held?.classList.add("held");
  light(spans);
  if (held) bring(event.target);
});

// The definition, where the text has others before it.
const own = document.querySelector("#text .own");
if (own) own.closest(".body").scrollTop = own.offsetTop - own.closest(".body").offsetTop - 12;
