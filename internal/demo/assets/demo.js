// Shows what a script gets for an answer, and turns the outbox to new mail.
for (const button of document.querySelectorAll("[data-fetch]")) {
  button.addEventListener("click", async () => {
    const answer = document.querySelector("output.answer");
    const response = await fetch(button.dataset.fetch, { headers: { Accept: "application/json" } });
    const text = await response.text();
    let body = text.slice(0, 2000);
    try {
      body = JSON.stringify(JSON.parse(text), null, 2);
    } catch {} // not JSON: shown as it is
    answer.textContent = `${response.status} ${response.statusText}\n${response.headers.get("Content-Type") ?? ""}\n\n${body}`;
    answer.hidden = false;
  });
}
const outbox = document.querySelector("[data-newest]");
if (outbox) {
  setInterval(async () => {
    try {
      const last = await (await fetch("/demo/outbox/last")).text();
      if (last !== outbox.dataset.newest) location.assign("/demo/outbox");
    } catch {} // the demo was stopped
  }, 1000);
}
