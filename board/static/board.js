// What every page runs: keyboard, countdowns, forms of actions.
import { startCountdowns } from "./countdown.js";
import { startForms } from "./forms.js";
import { startKeyboard } from "./keyboard.js";

startKeyboard();
startCountdowns();
startForms();
