// What is wrong with how the page looks: something beyond its edge, letters that are cut, or over others.
(() => {
  const problems = [], root = document.documentElement;
  if (root.scrollWidth > innerWidth) problems.push(`the page is ${root.scrollWidth} wide`);
  const visible = (element) => element.getClientRects().length > 0;
  for (const element of document.querySelectorAll("#cluster *, #notes *, header *")) {
    if (!visible(element)) continue;
    const box = element.getBoundingClientRect();
    if (box.right > innerWidth + 1 || box.left < -1) problems.push(`${element.className} ${element.textContent} is outside`);
    const hides = getComputedStyle(element).overflowX === "hidden";
    if (hides && element.scrollWidth > element.clientWidth && !element.closest("[title]")) problems.push(`${element.textContent} is cut`);
  }
  const texts = [...document.querySelectorAll(".head > span, .pod > span, #lines text")].filter(visible)
    .map((text) => [text.textContent, text.getBoundingClientRect()]).filter(([text]) => text !== "");
  texts.forEach(([text, box], at) => {
    for (const [other, its] of texts.slice(at + 1))
      if (box.left + 1 < its.right && its.left + 1 < box.right && box.top + 3 < its.bottom && its.top + 3 < box.bottom)
        problems.push(`${text} covers ${other}`);
  });
  return problems;
})()
