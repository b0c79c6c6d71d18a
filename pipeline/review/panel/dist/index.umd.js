// Keys of the steward's panel. FiftyOne gives Python panels no keyboard, so this listens and calls the operator `press`.
// Written by hand: nothing is built. tests/review/test_keys.py holds the keys against pipeline/review/keys.py.
(function () {
  "use strict";
  var OPERATOR = "@skin-curation/steward/press";
  var ACTIONS = {
    k: "keep", a: "accept", t: "relabel", d: "drop", u: "not_sure", n: "not_a_duplicate", o: "same_lesion",
    w: "withdraw", i: "note", g: "next", b: "previous"
  };
  var busy = false, note = "", opened = false, hiding = 0;

  function element(tag, style, text) {
    var made = document.createElement(tag);
    made.style.cssText = style;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // --- what came of a key -----------------------------------------------------------------------------------------
  var bar = element("div",
    "position:fixed;left:50%;bottom:18px;transform:translateX(-50%);max-width:80vw;padding:8px 16px;border-radius:6px;" +
    "font:14px sans-serif;color:#fff;z-index:2147483000;display:none;pointer-events:none");
  bar.id = "steward-answer";
  function say(text, colour) {
    if (!bar.parentNode) document.body.appendChild(bar);
    if (!text) return;
    bar.textContent = text;
    bar.style.background = colour;
    bar.style.display = "block";
    clearTimeout(hiding);
    hiding = setTimeout(function () { bar.style.display = "none"; }, 6000);
  }

  function press(params) {
    if (busy) { say("too fast: this key was not taken", "#8a6d00"); return; }
    busy = true;
    if (note && !params.reason && params.action !== "next" && params.action !== "previous") params.reason = note;
    var started = performance.now();
    window.__foo__.executeOperator(OPERATOR, params, { callback: function (done) {
      window.__steward_ms = performance.now() - started;
      var answer = done && done.result;
      if (!answer) {
        busy = false;
        say("press it again, what is recorded already is not recorded twice: " + ((done && done.errorMessage) || (done && done.error) || "the server did not answer"), "#a11");
        return;
      }
      if (answer.ask) { busy = false; ask(params, answer); return; }
      if (answer.recorded) { note = ""; window.__steward_count = (window.__steward_count || 0) + answer.recorded; }
      say(answer.message, answer.problem ? "#a11" : answer.waits ? "#8a6d00" : "#1b6e2e");
      // The next key is for the next case: it is taken once the panel shows that one.
      var until = performance.now() + (answer.image ? 5000 : 0);
      (function wait() {
        var panel = document.querySelector("#modal [data-cy=panel-content-steward]");
        if (performance.now() >= until || (panel && panel.textContent.indexOf(answer.image) >= 0)) {
          busy = false;
          window.__steward_shown = performance.now() - started;
          return;
        }
        setTimeout(wait, 10);
      })();
    } });
  }

  // --- questions --------------------------------------------------------------------------------------------------
  var dialog = null, answerKey = null;
  function close() {
    if (dialog) dialog.remove();
    dialog = null;
  }
  function open(title, options, taken, initial) {
    close();
    dialog = element("div",
      "position:fixed;left:50%;top:20%;transform:translateX(-50%);width:420px;padding:16px;border-radius:8px;" +
      "background:#222;color:#eee;font:14px sans-serif;z-index:2147483001;box-shadow:0 4px 24px #000");
    dialog.id = "steward-question";
    dialog.appendChild(element("div", "margin-bottom:8px;font-weight:bold", title));
    var input = element("input",
      "width:100%;box-sizing:border-box;padding:6px;margin-bottom:8px;font:14px sans-serif;background:#111;color:#eee;border:1px solid #666");
    input.maxLength = 500;
    input.value = initial || "";
    dialog.appendChild(input);
    var list = element("div", "max-height:40vh;overflow:auto");
    dialog.appendChild(list);
    dialog.appendChild(element("div", "margin-top:8px;color:#999", "a digit chooses, or type and press Enter; Escape leaves it"));
    function shown() {
      var typed = input.value.toLowerCase();
      return options.filter(function (option) { return option.toLowerCase().indexOf(typed) >= 0; });
    }
    function draw() {
      list.replaceChildren();
      shown().forEach(function (option, at) {
        var line = element("div", "padding:3px 6px;cursor:pointer", (at < 9 ? at + 1 + "  " : "   ") + option);
        line.addEventListener("click", function () { close(); taken(option, true); });
        list.appendChild(line);
      });
    }
    input.addEventListener("input", draw);
    // Heard on the window: the App holds the focus in its open sample and may take it from the input.
    answerKey = function (event) {
      var at = "123456789".indexOf(event.key);
      event.stopImmediatePropagation();
      if (document.activeElement !== input) input.focus();
      if (event.key === "Escape") { event.preventDefault(); close(); }
      else if (at >= 0 && !/\d/.test(input.value) && shown()[at]) {
        event.preventDefault(); var chosen = shown()[at]; close(); taken(chosen, true);
      } else if (event.key === "Enter") {
        event.preventDefault();
        var text = input.value.trim();
        if (text || !options.length) { close(); taken(text, false); }
      }
    };
    draw();
    (inSample() ? document.querySelector("#modal") : document.body).appendChild(dialog);
    input.focus();
  }
  function ask(params, answer) {
    if (answer.ask === "diagnosis") {
      open(answer.message, answer.options, function (text, chosen) {
        var typed = text.toLowerCase();
        var found = answer.options.filter(function (option) { return option.toLowerCase().indexOf(typed) >= 0; });
        if (!chosen && found.length !== 1 && found.indexOf(text) < 0) { say(text + " names no one diagnosis", "#a11"); return; }
        press({ action: params.action, to: chosen ? text : found.indexOf(text) < 0 ? found[0] : text, reason: params.reason });
      });
      return;
    }
    open(answer.message, answer.options, function (text) {
      press({ action: params.action, to: params.to, reason: text, checked: answer.personal && text === params.reason });
    }, answer.personal ? params.reason : "");
  }

  // --- keys -------------------------------------------------------------------------------------------------------
  function inSample() {
    var modal = document.querySelector("#modal");
    return Boolean(modal && modal.classList.contains("modalon"));
  }
  window.addEventListener("keydown", function (event) {
    var at = event.target;
    if (dialog) { answerKey(event); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.repeat) return;
    if (/INPUT|TEXTAREA|SELECT/.test(at.tagName) || at.isContentEditable) return;
    var digit = /^[1-9]$/.test(event.key), action = digit ? "relabel" : ACTIONS[event.key];
    if (!action || !window.__foo__ || !/\/datasets\//.test(location.pathname)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (action === "note") {
      open("note for the next decision", [], function (text) { note = text; say(text ? "noted: " + text : "no note", "#444"); }, note);
      return;
    }
    press({ action: action, to: digit ? event.key : "" });
  }, true);

  // --- the panel beside every sample that is opened, and not the sidebar (the key s brings that back) ----------------
  var LAYOUT = "fo-sample-modal-plugins", SAMPLE = "fo-sample-modal-plugin"; // where the App keeps it, and what it shows
  function half(type, pinned) {
    var panel = { id: type, type: type, pinned: pinned, children: [] };
    return { id: "beside-" + type, type: "panel-container", activeChild: type, children: [panel] };
  }
  try {
    localStorage.setItem("fiftyone-enterprise-tooltip-seen", "true"); // an advertisement over the panel
    var kept = JSON.parse(localStorage.getItem(LAYOUT) || "{}");
    if (!kept.layout) { // the App would lay the panel behind the sample
      localStorage.setItem(LAYOUT, JSON.stringify({
        id: "root", layout: "horizontal", sizes: [0.5, 0.5], children: [half(SAMPLE, true), half("steward", false)]
      }));
    }
  } catch (error) { console.warn("the steward's panel stands behind the sample: " + error); }
  document.head.appendChild(element("style", "",
    "[data-cy=panel-content-steward] {padding: 4px 12px} [data-cy=panel-content-steward] h3 {font-size: 18px; margin: 8px 0}"));
  setInterval(function () {
    var toggle = inSample() && document.querySelector("#modal [data-cy=action-toggle-sidebar]");
    if (toggle && !opened) {
      opened = true;
      if (document.querySelector("#modal [data-cy=sidebar]")) toggle.click();
    }
  }, 200);
})();
