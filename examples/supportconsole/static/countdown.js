// The countdown of the banner, and nothing else: without this file the pages say when it ends, and everything works.
const left = document.getElementById("left");
if (left) {
	const spoken = document.getElementById("spoken");
	const end = performance.now() + left.dataset.seconds * 1000;
	const moments = new Map([[300, "Five minutes left."], [60, "One minute left."], [15, "Fifteen seconds left."]]);
	const tick = () => {
		const seconds = Math.max(0, Math.ceil((end - performance.now()) / 1000));
		left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
		left.classList.toggle("soon", seconds <= 60);
		if (moments.has(seconds)) spoken.textContent = moments.get(seconds);
		if (seconds === 0) {
			clearInterval(timer);
			setTimeout(() => location.assign("/"), 1000); // the console has ended it by then, and says so
		}
	};
	const timer = setInterval(tick, 250);
	left.hidden = false;
	tick();
}
