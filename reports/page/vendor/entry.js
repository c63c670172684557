// The parts of Tabulator and Tom Select that the page uses, as globals of the page.
import TomSelect from "tom-select/dist/esm/tom-select.js";
import removeButton from "tom-select/dist/esm/plugins/remove_button/plugin.js";
import {
  ExportModule, DownloadModule, FormatModule, InteractionModule, KeybindingsModule, ResizeTableModule, SortModule,
  Tabulator,
} from "tabulator-tables";

TomSelect.define("remove_button", removeButton);
Tabulator.registerModule([
  ExportModule, DownloadModule, FormatModule, InteractionModule, KeybindingsModule, ResizeTableModule, SortModule,
]);
globalThis.Tabulator = Tabulator;
globalThis.TomSelect = TomSelect;
