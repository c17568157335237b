/** The smallest contrast of every text on the page with its background. */
() => {
  const parts = colour => colour.match(/[\d.]+/g).map(Number);
  const linear = each => (each /= 255) <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = element => {
    const colour = parts(getComputedStyle(element).backgroundColor);
    return (colour[3] ?? 1) > 0 || !element.parentElement ? colour : behind(element.parentElement);
  };
  const found = {};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
    if (!text || element.closest("script, .unseen")) continue;
    const [a, b] = [parts(getComputedStyle(element).color), behind(element)].map(luminance);
    found[text] = Math.min(found[text] ?? 99, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return found;
}
