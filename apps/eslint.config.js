import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    files: ["cdm_inspect_review/components/**/*.js"],
    languageOptions: { globals: globals.browser },
    rules: {
      // What failed is plain from where it failed.
      "no-unused-vars": ["error", { caughtErrors: "none" }],
      "preserve-caught-error": "off",
      "max-lines-per-function": ["error", { max: 60 }],
      eqeqeq: "error",
      "no-var": "error",
      "prefer-const": "error",
    },
  },
];
