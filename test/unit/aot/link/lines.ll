; Lines up to 32 bits, as offsets in a module may be. (Without `type:` LLVM 22 crashes when line_low is inlined.)
define i64 @line_low(i64 %a, i64 %b) !dbg !4 {
  %c = mul i64 %a, %b, !dbg !6
  %d = udiv i64 %c, 10, !dbg !7
  %e = xor i64 %d, %a, !dbg !8
  ret i64 %e, !dbg !9
}

define void @line_none() {
  ret void
}

define i64 @line_empty() !dbg !10 {
  unreachable
}

define i64 @line_high(i64 %a) !dbg !5 {
  %b = call i64 @line_low(i64 %a, i64 3), !dbg !11
  %c = add i64 %b, 77, !dbg !12
  ret i64 %c, !dbg !13
}

!llvm.dbg.cu = !{!0}
!llvm.module.flags = !{!2, !3}
!0 = distinct !DICompileUnit(language: DW_LANG_C, file: !1, emissionKind: LineTablesOnly)
!1 = !DIFile(filename: "module.wasm", directory: "/")
!2 = !{i32 2, !"Debug Info Version", i32 3}
!3 = !{i32 2, !"Dwarf Version", i32 5}
!4 = distinct !DISubprogram(name: "low", file: !1, type: !14, line: 1, unit: !0, spFlags: DISPFlagDefinition)
!5 = distinct !DISubprogram(name: "high", file: !1, line: 4000000000, type: !14, unit: !0, spFlags: DISPFlagDefinition)
!6 = !DILocation(line: 100, scope: !4)
!7 = !DILocation(line: 90, scope: !4)
!8 = !DILocation(line: 2147483648, scope: !4)
!9 = !DILocation(line: 4294967295, scope: !4)
!10 = distinct !DISubprogram(name: "empty", file: !1, line: 7, type: !14, unit: !0, spFlags: DISPFlagDefinition)
!11 = !DILocation(line: 4000000001, scope: !5)
!12 = !DILocation(line: 0, scope: !5)
!13 = !DILocation(line: 5, scope: !5)
!14 = !DISubroutineType(types: !15)
!15 = !{null}
