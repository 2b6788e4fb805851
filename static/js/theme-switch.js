// Chooses light, dark or the system's colours. The choice is a cookie, so the server draws the right
// theme at once and nothing flashes.
// <theme-switch><button data-theme-value="auto" aria-pressed="false">…</button> … </theme-switch>

const YEAR_S = 365 * 24 * 3600;

class ThemeSwitch extends HTMLElement {
  connectedCallback() {
    this.show(document.documentElement.dataset.theme || "auto");
    this.addEventListener("click", (event) => {
      const button = event.target.closest("[data-theme-value]");
      if (button) this.choose(button.dataset.themeValue);
    });
  }

  choose(theme) {
    document.documentElement.dataset.theme = theme;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `theme=${theme}; path=/; max-age=${YEAR_S}; SameSite=Lax${secure}`;
    this.show(theme);
  }

  show(theme) {
    for (const button of this.querySelectorAll("[data-theme-value]"))
      button.setAttribute("aria-pressed", String(button.dataset.themeValue === theme));
  }
}

customElements.define("theme-switch", ThemeSwitch);
