// What every page runs: keyboard, countdowns.
import { startCountdowns } from "./countdown.js";
import { startKeyboard } from "./keyboard.js";

startKeyboard();
startCountdowns();
