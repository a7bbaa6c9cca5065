// What the tests ask a page in a browser: two functions that return what is wrong.
({
  findLowContrast() {
    const parse = (text) => {
      const [red, green, blue, alpha = 1] = text.match(/[\d.]+/g).map(Number);
      return { channels: [red, green, blue], alpha };
    };
    // Source: WCAG 2.2, relative luminance.
    const luminance = ({ channels }) => channels
      .map((channel) => channel / 255)
      .map((share) => (share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4))
      .reduce((sum, share, index) => sum + share * [0.2126, 0.7152, 0.0722][index], 0);
    const groundOf = (element) => {
      for (let one = element; one; one = one.parentElement) {
        const colour = parse(getComputedStyle(one).backgroundColor);
        if (colour.alpha === 1) return colour;
      }
      return parse("rgb(255, 255, 255)");
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode.textContent.trim();
      const element = walker.currentNode.parentElement;
      if (!text || !element.checkVisibility({ opacityProperty: true })) continue;
      const style = getComputedStyle(element);
      const levels = [luminance(parse(style.color)), luminance(groundOf(element))];
      const ratio = (Math.max(...levels) + 0.05) / (Math.min(...levels) + 0.05);
      const size = parseFloat(style.fontSize);
      const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      if (ratio < (isLarge ? 3 : 4.5)) found.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
    }
    return found;
  },
  findNameless() {
    const kinds = "button, a, input:not([type=hidden]), img, [role=img], [role=region], dialog";
    const hasName = (one) => one.ariaLabel || one.getAttribute("aria-labelledby")
      || one.textContent.trim() || one.alt || one.labels?.length;
    return [...document.querySelectorAll(kinds)]
      .filter((one) => one.checkVisibility() && !hasName(one))
      .map((one) => one.outerHTML.slice(0, 120));
  },
})
