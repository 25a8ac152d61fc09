"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const keys = [...document.querySelectorAll(".key")];
  const cards = [...document.querySelectorAll(".card, tr[data-search]")];
  const search = document.getElementById("search");
  const clear = document.getElementById("clear");
  const found = document.getElementById("found");
  const canvas = document.getElementById("data-map");
  const hovers = new Map(keys.map((key) => [Number(key.dataset.cluster), key.dataset.hover]));
  let points = null;
  let labels = null;
  let mapper = null;
  let plot = null;
  let plotView = null;
  let chosen = null;
  let matching = null;

  // ---- theme: the system's, until the reader chooses; kept for this page only ----
  let theme = null;
  const paint = () => {
    root.dataset.theme = theme || (dark.matches ? "dark" : "light");
    paintMap();
  };
  document.getElementById("theme").addEventListener("click", () => {
    theme = root.dataset.theme === "dark" ? "light" : "dark";
    paint();
  });
  dark.addEventListener("change", paint);

  // ---- data map ----
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const palette = () => [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1].map((number) => colour(`--c${number}`));
  const lit = (cluster) => (chosen !== null ? cluster === chosen : matching === null || matching.has(cluster));
  const paintMap = () => {
    if (!plot) return;
    points.glyph.fill_color = { ...points.glyph.fill_color, transform: mapper };
    mapper.palette = palette();
    if (chosen === null && matching === null) {
      points.glyph.fill_alpha = { value: 0.66 };
    } else {
      const alpha = Float32Array.from(points.data_source.data.cluster, (cluster) => (lit(cluster) ? 0.75 : 0.06));
      points.data_source.data = { ...points.data_source.data, alpha };
      points.glyph.fill_alpha = { field: "alpha" };
    }
    if (labels) {
      labels.visible = chosen === null && matching === null && canvas.clientWidth > 560;
      labels.glyph.text_color = { value: colour("--ink") };
      labels.glyph.background_fill_color = { value: colour("--surface") };
    }
  };

  const draw = async () => {
    const text = document.getElementById("map-document");
    const library = document.getElementById("bokeh");
    if (!text || !library) return;
    const code = document.createElement("script");
    code.textContent = library.textContent;
    library.replaceWith(code);
    const views = await Bokeh.embed.embed_item(JSON.parse(text.textContent));
    plotView = [...views.roots][0];
    const drawn = plotView.model;
    points = drawn.renderers.find((layer) => layer.tags[0] === "points");
    labels = drawn.renderers.find((layer) => layer.tags[0] === "labels");
    mapper = points.glyph.fill_color.transform;
    plot = drawn;
    const source = points.data_source;
    source.selected.properties.indices.change.connect(() => {
      const index = source.selected.indices[0];
      if (index === undefined) return;
      choose(source.data.cluster[index], true);
      source.selected.indices = [];
    });
    const tip = document.getElementById("tip");
    canvas.addEventListener("pointermove", (event) => {
      tip.style.left = `${Math.min(Math.max(event.clientX, 110), innerWidth - 110)}px`;
      tip.style.top = `${event.clientY}px`;
    });
    canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
    source.inspect.connect(() => {
      const index = source.inspected.indices[0];
      tip.hidden = index === undefined;
      if (!tip.hidden) tip.textContent = hovers.get(source.data.cluster[index]) || "";
    });
    if (matchMedia("(pointer: fine)").matches) {
      const pan = plot.toolbar.tools.find((tool) => tool.type === "PanTool");
      if (pan) pan.active = true;
    }
    addEventListener("resize", paintMap);
    paintMap();
    performance.mark("map drawn");
    root.dataset.map = "drawn";
  };

  // ---- choosing a cluster ----
  const choose = (cluster, reveal) => {
    chosen = chosen === cluster && !reveal ? null : cluster;
    for (const key of keys) key.setAttribute("aria-pressed", String(Number(key.dataset.cluster) === chosen));
    for (const card of cards) card.classList.toggle("focus", Number(card.dataset.cluster) === chosen);
    if (reveal) {
      const key = keys.find((entry) => Number(entry.dataset.cluster) === chosen);
      if (key) key.parentElement.scrollTop = key.offsetTop - key.parentElement.offsetTop - 60;
    }
    clear.hidden = chosen === null && matching === null;
    paintMap();
  };
  for (const key of keys) key.addEventListener("click", () => choose(Number(key.dataset.cluster), false));
  for (const show of document.querySelectorAll(".show")) {
    show.addEventListener("click", () => {
      choose(Number(show.dataset.show), true);
      document.getElementById("map").scrollIntoView();
    });
  }

  // ---- search ----
  const fold = (text) => text.toLowerCase().normalize("NFC").trim();
  const look = () => {
    const wanted = fold(search.value);
    matching = wanted ? new Set() : null;
    let count = 0;
    for (const card of cards) {
      const hit = !wanted || card.dataset.search.includes(wanted);
      card.hidden = !hit;
      if (hit && matching) {
        matching.add(Number(card.dataset.cluster));
        count += 1;
      }
    }
    for (const key of keys) key.classList.toggle("faded", matching !== null && !matching.has(Number(key.dataset.cluster)));
    if (wanted) {
      for (const fold of document.querySelectorAll("#clusters > details")) fold.open = true;
      const told = count ? found.dataset.some : found.dataset.none;
      found.textContent = told.replace("{count}", count).replace("{all}", cards.length);
    } else {
      found.textContent = "";
    }
    clear.hidden = chosen === null && matching === null;
    paintMap();
  };
  search.addEventListener("input", () => {
    if (chosen !== null) choose(chosen, false);
    look();
  });
  clear.addEventListener("click", () => {
    search.value = "";
    if (chosen !== null) choose(chosen, false);
    look();
  });

  // ---- print: light, clusters unfolded, and a still of the map that fits the paper ----
  const still = document.getElementById("print-map");
  addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("#clusters > details")) fold.open = true;
    root.dataset.theme = "light";
    if (!plot) return;
    paintMap();
    // Bokeh applies new colours a moment later; a print does not wait.
    for (const layer of [points, labels].filter(Boolean)) {
      const view = plotView.views.find_one(layer);
      if (view) view.glyph.set_visuals(layer.data_source, view.all_indices);
    }
    still.replaceChildren(plotView.export("png").canvas);
  });
  addEventListener("afterprint", () => {
    if (still) still.replaceChildren();
    paint();
  });

  paint();
  // The reader sees the page first: the map's library waits as text until everything else stands.
  const begin = () => {
    draw().catch((error) => console.error("the data map could not be drawn:", error.message));
  };
  addEventListener("load", () => requestAnimationFrame(() => setTimeout(begin)));
})();
