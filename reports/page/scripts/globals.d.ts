declare const Plotly: any;
declare const Tabulator: any;
declare const TomSelect: any;
