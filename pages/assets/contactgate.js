// Counts down until a code can be sent again. Without this script the page is the same but for the counting.
for (const form of document.querySelectorAll("form.resend[data-wait]")) {
  const button = form.querySelector("button");
  const hint = form.querySelector(".hint.wait");
  const words = form.querySelector(".countdown");
  if (!button || !hint || !words) continue;
  // The words that the page came with, in every plural form of its language.
  const forms = JSON.parse(words.dataset.words);
  const rules = new Intl.PluralRules(document.documentElement.lang);
  const say = (n, unit) => (forms[unit][rules.select(n)] ?? forms[unit].other).replace(/\{\{\s*\.Count\s*\}\}/, n);
  const end = Date.now() + 1000 * Number(form.dataset.wait);
  button.disabled = true;
  const tick = () => {
    const left = Math.ceil((end - Date.now()) / 1000);
    if (left > 0) {
      words.textContent = left > 90 ? say(Math.ceil(left / 60), "minute") : say(left, "second");
      return;
    }
    clearInterval(timer);
    hint.remove();
    button.disabled = false;
  };
  const timer = setInterval(tick, 1000);
}

// The choice of languages opens at the end of the page, often below what is in sight.
for (const list of document.querySelectorAll("details.languages")) {
  list.addEventListener("toggle", () => list.open && list.querySelector("form").scrollIntoView({ block: "nearest" }));
}
