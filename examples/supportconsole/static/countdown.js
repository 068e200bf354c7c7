// The countdown of the banner, and nothing else: without this file the pages say when it ends, and everything works.
const left = document.getElementById("left");
if (left) {
	const end = Date.now() + left.dataset.seconds * 1000;
	const moments = [[15, "Fifteen seconds left."], [60, "One minute left."], [300, "Five minutes left."]];
	let shown = Infinity;
	const tick = () => {
		const seconds = Math.max(0, Math.ceil((end - Date.now()) / 1000));
		if (seconds === shown) return;
		left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
		document.getElementById("banner").classList.toggle("soon", seconds <= 60);
		// Spoken when a moment has passed since the page was shown; a timer that sleeps in the background misses none.
		const moment = shown === Infinity ? undefined : moments.find(([at]) => seconds <= at && at < shown);
		if (moment) document.getElementById("spoken").textContent = moment[1];
		shown = seconds;
		if (seconds === 0) {
			clearInterval(timer);
			setTimeout(() => location.assign("/"), 1000); // the console has ended it by then, and says so
		}
	};
	const timer = setInterval(tick, 250);
	left.hidden = false;
	tick();
}
// A page that the browser has kept is asked for again, so that going back shows nothing of what has ended.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
