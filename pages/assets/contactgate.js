// Counts down until a code can be sent again. Without this script the page is the same but for the counting.
for (const form of document.querySelectorAll("form.resend[data-wait]")) {
  const button = form.querySelector("button");
  const hint = form.querySelector(".hint.wait");
  const words = form.querySelector(".countdown");
  if (!button || !hint || !words) continue;
  const lang = document.documentElement.lang;
  // Like the words that the page came with: no blank before a CJK unit.
  const say = (n, unit) => new Intl.NumberFormat(lang, { style: "unit", unit, unitDisplay: "long" }).format(n).replace(/(\d)\s(?=[\u4e00-\u9fff])/, "$1");
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
