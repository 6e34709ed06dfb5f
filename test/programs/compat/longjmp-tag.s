# The tag that clang's setjmp lowering throws with: one i32, the address of the thrown record.
	.globl	__c_longjmp
	.tagtype	__c_longjmp i32
__c_longjmp:
