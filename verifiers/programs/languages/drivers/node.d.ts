declare var require: any;
declare var process: any;
declare var module: any;
declare var exports: any;
declare var global: any;
declare var Buffer: any;
declare var __filename: string;
declare var __dirname: string;
declare module "*";
